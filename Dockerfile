# The daemon, without root and with a read-only root file system. docs/install.md tells how to run it.
#
# Behind a mirror, name it; where the build itself has no network for pip, bring the wheels along:
#
#   docker build --build-arg BASE=registry.example.com/python:3.11-slim-bookworm \
#                --build-arg PIP_INDEX_URL=https://pypi.example.com/simple .
#
#   pip download -d wheels --require-hashes --no-deps -r requirements.lock && pip download -d wheels 'hatchling<2'
#   docker build --build-arg PIP_NO_INDEX=1 .
#
# BASE has Python 3.11 or newer as `python`, and apt. Pin it by its digest where builds must repeat.

ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
WORKDIR /src
COPY requirements.lock wheels* wheels/
# What is installed is what the lock file names, by hash; this layer stays while the lock file does.
RUN python -m venv /opt/reconciler \
 && /opt/reconciler/bin/pip install --no-cache-dir --find-links wheels --require-hashes -r wheels/requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY reconciler reconciler
COPY docs/reasons docs/reasons
RUN /opt/reconciler/bin/pip install --no-cache-dir --find-links wheels --no-deps . \
 && /opt/reconciler/bin/pip uninstall --yes --quiet pip setuptools

FROM ${BASE}
LABEL org.opencontainers.image.title="reconciler" \
      org.opencontainers.image.description="Promotion by pull request, for plain servers" \
      org.opencontainers.image.licenses="Apache-2.0"
# git reads declarations, ssh-keygen and gpgv verify who signed; nothing here is ever given a shell.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git gpgv openssh-client \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 reconciler \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/reconciler --create-home --shell /usr/sbin/nologin reconciler \
 && chmod 0700 /var/lib/reconciler
COPY --from=build /opt/reconciler /opt/reconciler
ENV PATH=/opt/reconciler/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RECONCILER_CONFIG=/etc/reconciler/reconciler.yaml \
    RECONCILER_STATE=/var/lib/reconciler \
    RECONCILER_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/reconciler
VOLUME /var/lib/reconciler
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["reconciler", "check", "--daemon"]
ENTRYPOINT ["reconciler"]
CMD ["run"]
