"""One attempt of one job, in one cancel scope -> how it ended.

    execution ── runs work in the loop or a thread ──▶ ending ──▶ an Outcome
    process   ── sends an errand to a process ───────▶ child: runs it there, ending ──▶ an Outcome
    relay     ◀── what the handler says meanwhile ──── voice

Import from its modules: what the processes of handlers need (`child` and all it imports) does
without trio, which alone would take half as long as all the rest of their start.
"""
