"""A top-down model as one ONNX file, decoding included. Needs the extra ``[export]``."""
