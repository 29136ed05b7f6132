# The daemon, without root and with a read-only root file system:
#   docker run --read-only --tmpfs /tmp -v state:/var/lib/reconciler -v /srv/shop:/srv/shop \
#     -v ./reconciler.yaml:/etc/reconciler/reconciler.yaml:ro reconciler

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY reconciler ./reconciler
RUN python -m venv /opt/reconciler \
 && /opt/reconciler/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && /opt/reconciler/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim-bookworm
# git reads declarations, ssh-keygen and gpgv verify who signed; nothing here is ever given a shell.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git gpgv openssh-client \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/reconciler --create-home --shell /usr/sbin/nologin reconciler \
 && chmod 0700 /var/lib/reconciler
COPY --from=build /opt/reconciler /opt/reconciler
ENV PATH=/opt/reconciler/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RECONCILER_STATE=/var/lib/reconciler \
    RECONCILER_LOG_FORMAT=json
USER 10001
WORKDIR /var/lib/reconciler
VOLUME /var/lib/reconciler
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["reconciler", "check", "--daemon"]
ENTRYPOINT ["reconciler"]
CMD ["run"]
