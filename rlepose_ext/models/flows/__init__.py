from rlepose_ext.models.flows.real_nvp import RealNVP

__all__ = ['RealNVP']
