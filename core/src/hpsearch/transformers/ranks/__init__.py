"""A search whose trials are trained by several processes together: ``torchrun``, ``accelerate``.

Rank 0 runs the search; it alone has the backend, the journal and the progress bar. The other ranks
follow: they train each trial with it and hear from it, as JSON, what the trial's parameters are
and whether to prune. What they tell each other lies in a store of their own and is never sent by a
collective, which a rank that failed could not join.

In the order in which the files are best read: ``launch`` (who is here), ``store`` (what the ranks
tell each other), ``together`` (how they end a trial as one), ``group`` and ``watch`` (what that
takes when one of them fails), ``leader``, ``follower``, ``result``.
"""
