"""Speed and memory, measured on whatever machine this is: `make bench`, or `python -m benchmarks training crops`.

Seconds say little: they belong to one machine on one day. So each speed is a ratio to a bare loop that does the part
nobody can do without. Both are measured in turns, round by round, and the median of the rounds' ratios is reported:
what slows the machine down for a while slows both.
"""
