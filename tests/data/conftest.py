import pytest


@pytest.fixture(scope="session")
def servers(redis_servers):
    """`servers(*options)`: starts a Redis server."""
    return redis_servers


@pytest.fixture(scope="session")
def server(servers):
    return servers()
