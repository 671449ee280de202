"""Ways to break edgeflow on purpose, and for each the quickest test that finds it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One place in which edgeflow is made worse."""

    name: str
    file: str
    old: str
    """What stands there, exactly once."""
    new: str
    found_by: str
    """The id of a pytest test, below tests/."""


W = "proof/test_reference.py::test_a_fault_at_any_write_changes_nothing"
MATRIX = "proof/test_mutants.py::"
ENGINE = "edgeflow/engine/"
STEP = "edgeflow/engine/ops/step.py"

MUTANTS = (
    # --- when it is written -------------------------------------------------------
    Mutant(
        "flush after the gate",
        ENGINE + "run.py",
        "if self.settled[0][1] > self.journal.durable or self.flusher.overfull:",
        "if self.flusher.overfull:",
        MATRIX + "test_a_fault_repeats_one_of_two_steps_at_most",
    ),
    Mutant(
        "clear the dirty set after the await",
        ENGINE + "journal.py",
        "        joined = await self._committer.commit(commit)\n",
        "        joined = await self._committer.commit(commit)\n"
        "        self.lines.take(snapshot=False)\n",
        MATRIX + "test_what_happens_during_a_flush_is_in_the_next_one",
    ),
    Mutant(
        "rest before the flush",
        ENGINE + "run.py",
        "        if not self._is_written(rest, deaths=0):\n            return\n",
        "",
        f"{W}[by replay-step-W1]",
    ),
    Mutant(
        "answer before the flush",
        ENGINE + "run.py",
        "        if not self._is_written(self._ending, deaths=0):\n"
        "            return\n",
        "        self._is_written(self._ending, deaths=0)\n",
        f"{W}[by replay-step-W1]",
    ),
    Mutant(
        "tell observers before the flush",
        ENGINE + "flushing.py",
        "        self._events = put(self._events, (self._journal.mark, event))\n",
        "        self._events = put(self._events, (0, event))\n",
        "test_flush_gates.py::test_an_observer_hears_what_is_durable",
    ),
    Mutant(
        "forget the wake time",
        ENGINE + "resting.py",
        "Rest(idle, wake_at, every, due=wake_at, lease=lease, stays=stays)",
        "Rest(idle, None, every, due=None, lease=lease, stays=stays)",
        f"{W}[by replay-step-W2]",
    ),
    # --- attempts -----------------------------------------------------------------
    Mutant(
        "count attempts in memory only",
        STEP,
        '            "retrying",\n'
        "            key=self.key,\n"
        "            completion=False,\n"
        "            attempts=self.number,\n",
        '            "retrying",\n'
        "            key=self.key,\n"
        "            completion=False,\n"
        "            attempts=0,\n",
        f"{W}[by replay-step-W1]",
    ),
    Mutant(
        "try again before the failure is durable",
        STEP,
        "        run.flusher.when_durable(mark, lambda: self._try(run))\n",
        "        self._try(run)\n",
        MATRIX + "test_a_quick_attempt_waits_for_the_failure_before_it",
    ),
    Mutant(
        "enter at most once before the intent is durable",
        STEP,
        "        run.flusher.when_durable(entry.mark, lambda: self._enter(run))\n",
        "        self._enter(run)\n",
        MATRIX + "test_a_fault_never_enters_at_most_once_twice",
    ),
    Mutant(
        "enter again what may have happened",
        STEP,
        "        elif entry is None:\n            self._try(run)\n",
        '        elif entry is None or entry.status == "started":\n'
        "            self._try(run)\n",
        f"{W}[by replay-step-W1]",
    ),
    Mutant(
        "merge the draft on failure",
        STEP,
        "            self._failed(run, error, took)\n",
        "            run.journal.set_state(attempt.draft.changes(run.journal.state))\n"
        "            self._failed(run, error, took)\n",
        MATRIX + "test_a_failed_attempt_leaves_no_state",
    ),
    Mutant(
        "keep the state in memory only",
        STEP,
        "            run.journal.set_state(changes)\n",
        "            new = {k: v for k, v in changes.items() if v is not None}\n"
        "            run.journal.state = run.journal.state | new\n",
        f"{W}[by replay-suspend-W6]",
    ),
    Mutant(
        "treat a store error as a step error",
        ENGINE + "flushing.py",
        "        if isinstance(error, EdgeflowError):\n"
        "            self._run.give_up(error)\n",
        "        if isinstance(error, EdgeflowError) and self._run.waiting:\n"
        "            for op in list(self._run.waiting.values()):\n"
        "                op.future.set_exception(error)\n"
        "            self._run.advance()\n",
        "test_flush_trouble.py::"
        "test_a_store_that_stays_away_ends_the_run_and_not_the_instance",
    ),
    # --- messages and children ----------------------------------------------------
    Mutant(
        "ack before commit",
        ENGINE + "journal.py",
        "        lines = self.lines.take(snapshot=snapshot)\n",
        "        lines = [] if outbox.acks else self.lines.take(snapshot=snapshot)\n",
        f"{W}[by replay-step-W2]",
    ),
    Mutant(
        "forget a message that is to be delivered",
        ENGINE + "reading.py",
        "        journal.undelivered[key] = Envelope(to, id_, ",
        "        Envelope(to, id_, ",
        MATRIX + "test_a_store_that_delivers_later_loses_no_message",
    ),
    Mutant(
        "forget a child that is to be born",
        ENGINE + "reading.py",
        "        journal.births[birth] = data\n",
        "",
        MATRIX + "test_a_child_comes_to_be_whatever_goes_wrong",
    ),
    Mutant(
        "leave a received message in the inbox",
        "adapters/edgeflow_memory/_store.py",
        "            inbox.consume(commit.acks)\n",
        "",
        f"{W}[by replay-suspend-W4]",
    ),
    # --- replay -------------------------------------------------------------------
    Mutant(
        "deliver in arrival order on replay",
        ENGINE + "reading.py",
        "    for entry in journal.entries.in_order():\n",
        "    for entry in [e for e in journal.entries.values() if e.is_done]:\n",
        MATRIX + "test_what_is_done_keeps_its_order",
    ),
    Mutant(
        "let time begin anew on replay",
        ENGINE + "desk.py",
        '        self.body.now = max(self.body.now, entry.data["at"])\n',
        "        self.body.now = self.clock.now()\n",
        MATRIX + "test_time_stands_still_on_replay",
    ),
    Mutant(
        "snapshot without a pending timer",
        ENGINE + "lines.py",
        "        return list((self._all if snapshot else dirty).values())\n",
        "        rest = [v for v in self._all.values() if b'\"retrying\"' not in v]\n"
        "        return rest if snapshot else list(dirty.values())\n",
        MATRIX + "test_a_snapshot_holds_what_is_under_way",
    ),
    # --- owners and frames --------------------------------------------------------
    Mutant(
        "skip OPEN",
        ENGINE + "worker.py",
        "        trouble = await opening.take_over(journal, self.plan.lease)\n",
        "        journal.token, trouble = loaded.head.token, None\n",
        "test_flush_counts.py::test_a_replay_costs_one_opening",
    ),
    Mutant(
        "accept a stale tail",
        ENGINE + "frames.py",
        '    before = int(part.header["prev"]) if first else part.seq - 1\n',
        '    before = part.seq - 1 if part.header["prev"] or not first else 0\n',
        f"{W}[by replay-step-W1]",
    ),
    Mutant(
        "accept a torn frame",
        ENGINE + "frames.py",
        '    if seal.get("size") != len(rest) or seal.get("crc") != crc32(rest):\n',
        '    if seal.get("crc") is None:\n',
        "engine/test_frames.py::"
        "test_a_last_frame_with_any_byte_changed_counts_as_not_written",
    ),
    Mutant(
        "take another owner's frame for one's own",
        ENGINE + "committing.py",
        "        if loaded.head.token == commit.token and loaded.head.seq == last:\n",
        "        if loaded.head.seq == last:\n",
        MATRIX + "test_the_frame_of_another_owner_is_not_ones_own",
    ),
    Mutant(
        "let the old owner write",
        "adapters/edgeflow_memory/_store.py",
        "    return commit.opens or old.head.token == commit.token\n",
        "    return True\n",
        "stores/test_memory.py::TestMemoryStore::"
        "test_an_owner_that_was_replaced_changes_nothing",
    ),
    Mutant(
        "count no deaths",
        ENGINE + "opening.py",
        "        journal.deaths += 1\n",
        "        journal.deaths += 0\n",
        "test_crash_loops.py::"
        "test_ten_deaths_in_a_row_block_and_the_body_is_not_entered_again",
    ),
    # --- undo ---------------------------------------------------------------------
    Mutant(
        "undo twice",
        ENGINE + "undo.py",
        "        and entry.key not in past\n",
        "",
        f"{W}[by replay-step-W5]",
    ),
    Mutant(
        "undo the oldest first",
        ENGINE + "undo.py",
        "    return list(found)[::-1]\n",
        "    return list(found)\n",
        MATRIX + "test_all_is_undone_newest_first",
    ),
    Mutant(
        "prune what an undo needs",
        ENGINE + "entries.py",
        '                if "undo" in entry.data or entry.kind == "undo":\n'
        "                    self._survive",
        '                if entry.kind == "undo":\n                    self._survive',
        MATRIX + "test_all_is_undone_newest_first",
    ),
    # --- the end of a process, and its platform -------------------------------------
    Mutant(
        "arm after the flush",
        ENGINE + "journal.py",
        "            await net.spread()\n"
        "        joined = await self._committer.commit(commit)\n",
        "        joined = await self._committer.commit(commit)\n"
        "        if net is not None:\n"
        "            await net.spread()\n",
        "ingress/test_arming.py::"
        "test_the_alarm_is_armed_before_the_flush_that_suspends",
    ),
    Mutant(
        "rescue half a change",
        ENGINE + "rescue.py",
        "        if wholeness.is_whole and before == (",
        "        if before == (",
        "shutdown/test_rescue.py::"
        "test_what_is_rescued_at_any_moment_belongs_together_and_goes_on",
    ),
    Mutant(
        "let a step fail that was cut off",
        STEP,
        "            if isinstance(error, CancelledError) and run.stopping:\n"
        "                return",
        "            if isinstance(error, CancelledError) and run.over:\n"
        "                return",
        "ingress/test_deadlines.py::"
        "test_a_step_that_was_cut_off_has_not_failed_and_a_wake_starts_it_again",
    ),
    Mutant(
        "keep what was claimed",
        ENGINE + "due.py",
        "await wiring.store.renew(instance, loaded.head.token, now, 0.0)",
        "await wiring.store.renew(instance, loaded.head.token, now, 30.0)",
        "shutdown/test_drain.py::"
        "test_what_is_claimed_while_the_process_is_told_is_given_back",
    ),
    Mutant(
        "take the signal away from a server",
        ENGINE + "shutdown.py",
        "        if not is_ours:\n            self._pass(number, frame, found)\n",
        "",
        "shutdown/test_guard.py::"
        "test_whoever_heard_before_is_called_too_and_ends_the_process",
    ),
    Mutant(
        "use the margin up",
        ENGINE + "plan.py",
        "        cut, heed = began + deadline - self.margin, self.margin / 5\n",
        "        cut, heed = began + deadline, self.margin / 5\n",
        "ingress/test_deadlines.py::"
        "test_three_seconds_left_are_used_but_for_the_margin",
    ),
    Mutant(
        "let anybody in",
        "edgeflow/ingress/letting.py",
        "    if request.authenticated and (authorize is None",
        "    if (authorize is None",
        "ingress/test_letting.py::"
        "test_every_door_is_closed_to_http_and_the_log_says_what_opens_it",
    ),
)
