"""Where configs, tools and demo lie: in the checkout, or inside the installed wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """Absolute path of a file or folder that ships with the project.

    Args:
        name: path as in the checkout, such as ``configs/rle``.

    Raises:
        FileNotFoundError: the installation lacks it.
    """
    for root in (PACKAGE / '.mim', PACKAGE.parent):
        path = root / name
        if path.exists():
            return path
    raise FileNotFoundError(f'{name} is neither in the checkout nor under {PACKAGE / ".mim"}')
