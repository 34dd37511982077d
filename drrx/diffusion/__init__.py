"""The diffusion process: schedule, prediction target, scaling of the residual, sampling."""
