"""What is to be done about a recording: rules that a safety team owns, and what follows from them.

A policy is data (`model`), a decision is a pure function of scores, policy and time (`decide`).
"""
