"""pytest runs the code blocks of the pages here; the rest of the folder is Sphinx's."""

collect_ignore = ["conf.py", "_ext", "gallery", "teaching", "reference/api"]
