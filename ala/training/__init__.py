"""Train the adapter: AEA's schedule, the loop, the loss, images and their encoder features."""
