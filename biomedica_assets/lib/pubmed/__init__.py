"""What PubMed knows of the articles: subject headings, abstracts, types, references, retraction links.

``record.py`` reads one PubMed record, ``archive.py`` the baseline and update files of NLM's server, ``eutils.py`` asks
the web service for small sets, ``stage.py`` fills ``pubmed_records``. Rows are joined by PMID, never by position.
"""
