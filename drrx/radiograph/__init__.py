"""Line integrals to a displayed radiograph: attenuation, scatter, noise, display curve."""
