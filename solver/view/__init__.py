"""Plans to look at: a page that explains itself, and its figures for papers and notebooks.

``html.save(plan, "plan.html")`` writes the page and ``html.Inline(plan)`` shows it in a notebook;
``figures.figures(plan)`` gives every figure as SVG or PNG.
"""
