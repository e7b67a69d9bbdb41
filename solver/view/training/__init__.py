"""The page of a training plan: one file that needs nothing else."""

from solver.view.training.page import render_training, save_training_page

__all__ = ["render_training", "save_training_page"]
