"""Routing: which target a job goes to, why, and what happens when that target fails (seed: `JobRouter`).

Topics in    job-requests, job-outcomes (by job id); whole: assets, performance, anomalies, remediations, policies,
             spending
Topics out   routing-decisions, spending
Table        routing-jobs: a row for each job, index rows by target, by the target that it was driven from and for jobs
             that wait, what is booked, spent and learned, targets that jobs leave or come back to (`state`)
Invariants   hard filters before scores; equal inputs, equal decision, whatever the order of arrival; at most one active
             target for a job; a target that is ill, drained, stale or removed has no job that could be elsewhere; what
             is not known never satisfies a limit; a policy that fails denies; every decision explains itself
"""
