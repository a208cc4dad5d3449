"""How a search runs: from the user's call, through its loop and coordinator, to its end.

The room is not called ``search``: ``hpsearch.search`` is the function that users call.
"""
