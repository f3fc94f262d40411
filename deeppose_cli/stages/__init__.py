"""The two LightningModules: the initial stage and the refinement stages."""
