"""Promotion: moves one release through the regions of a stack, gate by gate, and brings every region back if one fails.

Theory of operation. A promotion is a list of events in a journal (`journal`, one JSON line each, synced before anything is
done). Its state is the fold of those events (`plan.apply`, a transition table), and what to do next follows from the state
alone (`plan.next_step`). The driver is the loop between them: take the next step, record that it begins, do it, record how
it ended. Nothing that matters is in the driver's memory, so a driver that was killed is replaced by another that reads the
journal and goes on. A step that had begun is done again: deploying a release where it already runs changes nothing, and a
gate that was cut short has said nothing.

    plan     events -> state -> next step          pure
    journal  events on disk                        files
    lock     one promotion of a stack at a time    files
    history  quarantine, unfinished promotions     pure, over journals
    driver   the loop                              calls Deployer and Gate
    why      state -> one causal line              pure

Errors: PromotionRefused       the user can do something about it; carries the next command
          +-- PromotionRunning   another one holds the lock
          +-- Unfinished         an earlier one was interrupted or is held
          +-- Quarantined        this release failed a gate of this stack
          +-- NothingToDo        every region already serves it, or there is nothing to resume
        JournalDamaged         a journal cannot be what a driver wrote
        DeployFailed           raised by a Deployer (the platform's or the release's fault)
        ReturnStalled          bringing a region back failed repeatedly; resuming tries again
"""
