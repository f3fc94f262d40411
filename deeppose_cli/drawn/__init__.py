"""The parts of `deeppose_cli.drawing`: figure, canvas, person, scenery."""
