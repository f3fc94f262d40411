"""Networks, the regressor of a stage, the cascade, confidence, displacement."""
