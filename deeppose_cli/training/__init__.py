"""Training of the stages: Trainer, LightningModules, losses, callbacks."""
