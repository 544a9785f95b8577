"""LeWorldModel: an encoder of images and a predictor of what comes next, by actions."""
