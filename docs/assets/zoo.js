// A field above the zoo's tables: only rows with all its words are shown.
const heading = document.getElementById('configs');
if (heading && document.title.startsWith('All configs')) {
  const field = document.createElement('input');
  field.type = 'search';
  field.className = 'zoo-filter';
  field.placeholder = 'Filter: rle mobilenet, crowdpose, measured, apache ...';
  field.setAttribute('aria-label', 'Filter the configs');
  heading.after(field);
  field.addEventListener('input', () => {
    const words = field.value.toLowerCase().split(/\s+/);
    const show = (element, shown) => { element.style.display = shown ? '' : 'none'; };
    let title;
    for (let node = field.nextElementSibling; node.tagName !== 'H2'; node = node.nextElementSibling) {
      if (node.tagName === 'H3') title = node;
      const rows = [...node.querySelectorAll('tbody tr')];
      if (!rows.length) continue;
      const found = rows.filter((row) => {
        const text = `${title.textContent} ${row.textContent}`.toLowerCase();
        return words.every((word) => text.includes(word));
      });
      for (const row of rows) show(row, found.includes(row));
      for (const part of [title, node]) show(part, found.length);
    }
  });
}
