"""A small web server with pictures, films, pages and streams, for tests."""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
from clips import numbered

# A film would end; this one does so after as many frames.
STREAM_FRAMES = 12
BOUNDARY = 'frame'


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        content = self.server.files.get(self.path.partition('?')[0])
        if content is None:
            self.send_error(404)
        elif content == 'mjpeg':
            self._stream()
        else:
            kind, body, length = content
            self.send_response(200)
            self.send_header('Content-Type', kind)
            self.send_header('Content-Length', str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

    def _stream(self):
        self.send_response(200)
        self.send_header('Content-Type', f'multipart/x-mixed-replace; boundary={BOUNDARY}')
        self.end_headers()
        for number in range(STREAM_FRAMES):
            picture = cv2.imencode('.jpg', numbered(number))[1].tobytes()
            head = f'--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n'
            head += f'Content-Length: {len(picture)}\r\n\r\n'
            self.wfile.write(head.encode() + picture + b'\r\n')
            time.sleep(0.05)

    def log_message(self, *args):
        """Nothing on standard error."""


@contextmanager
def serving(files):
    """Serve ``{'/path': (content type, bytes, announced length or None) or 'mjpeg'}``.

    Yields:
        The address without a path.
    """
    server = ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
    server.daemon_threads = True
    server.files = files
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_port}'
    finally:
        server.shutdown()
        server.server_close()
