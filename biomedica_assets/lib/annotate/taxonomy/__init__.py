"""The vocabulary of labels: ours as versioned data (``taxonomy.yaml``) and the five published ones mapped onto it.

``model`` holds the concept tree, ``published`` the other versions and ``cluster_labels.json``, ``skos`` the exports.
"""
