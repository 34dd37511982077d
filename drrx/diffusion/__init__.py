"""The diffusion process: schedule, prediction target, scaling of the residual, sampling, weights files."""
