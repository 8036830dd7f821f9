"""Schedules: bulk jobs at their times, one runner at a time however many machines look after them.

`runner.py` tells the story; what is due is `policy.py`'s, who has taken it `history.py`'s.
"""
