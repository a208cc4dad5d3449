"""What others can add: the hooks, the contract of a backend, and how plugins are found."""
