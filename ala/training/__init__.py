"""Training of the adapter: AEA's schedule, the loop, the loss, photos and their encoder features."""
