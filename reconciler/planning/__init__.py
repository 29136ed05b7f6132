"""What a merge would do, told before anybody merges it: for the command line, and for a forge's pull requests.

`gather.py` asks the pipeline's own judgement of a commit that nobody pushed; `evidence.py` looks at the artifacts on
both sides of it, `common.py` at the rules that are common to all environments. `words.py` says what every form of a
plan says alike, `markdown.py` is the comment of a pull request. None of it changes a target or decides anything.
"""
