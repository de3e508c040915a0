"""
`make prove-aws`: what can only be shown on a real account, shown there, and on the local cloud in every test run.

Reading order: script (steps, their outcomes, the time limit, the cleaning up), project (a small loop in a copy of this
project), proof (the steps), leftovers (what a destroyed deployment left), report (the log, without secrets), command.
"""
