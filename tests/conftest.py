"""What holds for every test."""

from hypothesis import settings

from easyrec.processors import wait_asleep

wait_asleep()  # before a test module loads torch: workers share two processors

# A shared machine is slow at times; the same examples every time make a failure one that can be repeated.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")
