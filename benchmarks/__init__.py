"""Side-by-side timings: ppgm, the same step by hand, the hosts' own SVI, and pixyz.

Run `python -m benchmarks`. Every contestant of a row starts from the same weights and sees the
same data; each lives in a process of its own, pinned to the same cores, and they take turns
(A B C A B C ...), so that a busy machine slows all of them alike and peak memory is the
contestant's own. Times are medians over the rounds; ratios are against the step written by hand.
With one thread the ratios are of processor time, which a busy neighbour does not stretch; with
more, of wall time. `--scaling` measures how times grow with numbers of steps and of particles.
"""
