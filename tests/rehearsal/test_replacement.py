"""What an application sees while the proxy is replaced by another."""

import time

from relay import Relay
from stage import SIDECAR, Stage

BALANCER = ("10.91.1.1", 8080)
ROUNDS = 3


class Replacement(Stage):
    def test_a_rolling_replacement_costs_no_answer(self):
        ports = [8181, 8281]
        old = self.start_sidecar(ports[0])
        balancer = Relay(self.router, BALANCER[1], [(SIDECAR, old.port)])
        application = self.start_application(BALANCER, readers=3, orders=3, streams=4, stream_seconds=3.0)
        drained, drains = 0, []
        for turn in range(1, ROUNDS + 1):
            new = self.start_sidecar(ports[turn % 2])
            balancer.targets = [(SIDECAR, new.port)]
            asked = time.monotonic()
            self.assertEqual(old.terminate(), 143)
            drains.append(time.monotonic() - asked)
            self.sidecars.remove(old)
            application.wait_for_answers(asked)
            streams = [o for o in application.outcomes(asked) if o.kind == "stream" and o.started < asked]
            drained += len([stream for stream in streams if stream.answered])
            old = new
        longest = max(drains)
        figures = f"{ROUNDS} replacements, {drained} streams ended whole meanwhile, drained in {longest:.1f} s at most"
        self.conclude(application, set(), figures)
        self.assertGreaterEqual(drained, ROUNDS)
