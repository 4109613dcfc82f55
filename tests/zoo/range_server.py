"""A web server on 127.0.0.1 that can do what real ones do: ranges, cuts, lies, errors."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Behaviour:
    """What the server does; tests change it between requests.

    Attributes:
        files: base name to content.
        tag: the ETag, or None to send none.
        ranges: answer Range requests; else send everything.
        cut: bytes of each answer after which the connection ends, or None; a list: one for each
            answer, then none.
        status: answer with this status, or None.
        requests: (path, Range header) of every request.
    """

    def __init__(self, **files):
        self.files = files
        self.tag = '"v1"'
        self.ranges = True
        self.cut = None
        self.status = None
        self.requests = []
        self.url = ''

    def url_of(self, name):
        return f'{self.url}/some/folder/{name}'

    def next_cut(self):
        if isinstance(self.cut, list):
            return self.cut.pop(0) if self.cut else None
        return self.cut


@contextmanager
def serving(behaviour):
    """Run the server in a thread; ``behaviour.url`` is its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get('Range')
            behaviour.requests.append((self.path, wanted))
            content = behaviour.files.get(self.path.rpartition('/')[2])
            if behaviour.status or content is None:
                self.send_error(behaviour.status or 404)
                return
            start = int(wanted[len('bytes=') : -1]) if wanted else 0
            fresh = self.headers.get('If-Range') in (None, behaviour.tag)
            if wanted and behaviour.ranges and fresh:
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header(
                    'Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}'
                )
            else:
                start = 0
                self.send_response(200)
            body = content[start:]
            self.send_header('Content-Length', str(len(body)))
            if behaviour.tag:
                self.send_header('ETag', behaviour.tag)
            self.end_headers()
            cut = behaviour.next_cut()
            self.wfile.write(body if cut is None else body[:cut])

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    behaviour.url = f'http://127.0.0.1:{server.server_port}'
    try:
        yield behaviour
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
