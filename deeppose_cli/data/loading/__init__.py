"""Torch datasets, samplers, augmentation and LightningDataModules."""
