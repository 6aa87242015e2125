"""What an application sees while something between it and its API is gone, and afterwards."""

import time

from stage import API, API_MOVED, BACK_WITHIN, COGNITO, NAMES, Stage


class Outages(Stage):
    def test_an_api_that_is_cut_off_costs_explicit_errors_until_it_is_back(self):
        self.start_sidecar()
        application = self.start_application()
        cut = time.monotonic()
        self.router.cut_off(API)
        try:
            application.wait_for_errors(since=cut)
            away = time.monotonic()
        finally:
            self.router.restore(API)
        restored = time.monotonic()
        back = application.wait_for_answers(restored)
        answered_while_away = [o for o in application.outcomes(cut + 1) if o.answered and o.ended < away]
        figures = f"away for {restored - cut:.1f} s, all well {back:.1f} s after it was back"
        allowed = {"upstream-timeout", "upstream-refused", "upstream-closed", "cut"}
        self.conclude(application, allowed, figures)
        self.assertEqual(answered_while_away, [])
        self.assertLess(back, BACK_WITHIN)

    def test_a_killed_sidecar_refuses_connections_until_another_is_started(self):
        sidecar = self.start_sidecar()
        application = self.start_application(streams=2)
        killed = time.monotonic()
        self.assertEqual(sidecar.kill(), -9)
        self.sidecars.remove(sidecar)
        application.wait_for_errors(since=killed)
        restarted = self.start_sidecar().started
        back = application.wait_for_answers(restarted)
        allowed = {"refused", "cut", "credentials-unavailable"}
        self.conclude(application, allowed, f"all well {back:.1f} s after its start")
        self.assertLess(back, BACK_WITHIN)

    def test_a_name_that_moves_is_followed_without_a_restart(self):
        self.start_sidecar()
        application = self.start_application()
        relay = self.relays["api"]
        before = len(relay.accepted)
        moved = time.monotonic()
        self.move_api(API, API_MOVED)
        try:
            back = application.wait_for_answers(moved)
            taken = relay.accepted[before:]
        finally:
            self.move_api(API_MOVED, API)
        new = taken.count(API_MOVED)
        figures = f"all well {back:.1f} s after the move, {new} connections to the new address"
        allowed = {"upstream-timeout", "upstream-refused", "upstream-closed", "cut"}
        self.conclude(application, allowed, figures)
        self.assertGreater(new, 0)
        self.assertLess(back, BACK_WITHIN)

    def test_without_cognito_requests_are_signed_until_the_credentials_expire(self):
        sidecar = self.start_sidecar()
        application = self.start_application()
        cut = time.monotonic()
        self.router.cut_off(COGNITO)
        try:
            expiry = cut + sidecar.metric("countersign_credentials_expiry_timestamp_seconds") - time.time()
            application.wait_for_errors(since=cut, kinds=("small", "order"))
            away = time.monotonic()
        finally:
            self.router.restore(COGNITO)
        restored = time.monotonic()
        back = application.wait_for_answers(restored)
        too_early = [o for o in application.outcomes(cut) if not o.answered and o.ended < expiry - 1]
        unsigned = [o for o in application.outcomes(cut) if o.answered and expiry + 1 < o.started < o.ended < away]
        away_for = f"valid for {expiry - cut:.1f} s, away for {restored - cut:.1f} s"
        figures = f"{away_for}, all well {back:.1f} s after it was back"
        self.conclude(application, {"credentials-unavailable"}, figures)
        self.assertEqual((too_early, unsigned), ([], []))
        self.assertLess(back, BACK_WITHIN)

    def move_api(self, old, new):
        """The API is gone from its old address before its name leads to the new one, as after a failure."""
        self.aws.ip("address", "delete", f"{old}/24", "dev", "eth0")
        self.aws.ip("address", "replace", f"{new}/24", "dev", "eth0")
        self.sidecar_host.set_names({**NAMES, "api.rehearsal.test": new})
