# The engine's image has no entity of its own. The stage "deployment" adds those of this repository;
# another deployment begins with FROM persist.
# BASE: any Debian-like image with Python 3.11 or newer, its venv and pip. A pip.conf can be passed
# as a secret: docker build --secret id=pip.conf,src=/etc/pip.conf .
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.lock requirements-build.lock ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv tools \
    && tools/bin/pip install --require-hashes -r requirements-build.lock \
    && python3 -m venv --without-pip /opt/persist \
    && tools/bin/pip --python /opt/persist/bin/python install \
       --only-binary :all: --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY persist persist
RUN tools/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir dist . \
    && tools/bin/pip --python /opt/persist/bin/python install --no-deps --no-index dist/*.whl

FROM ${BASE} AS engine
LABEL org.opencontainers.image.title="Persist" \
      org.opencontainers.image.description="Durable, versioned, audited REST collections" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --uid 10001 --no-log-init --home-dir /data --shell /usr/sbin/nologin persist \
    && install -d -m 0700 -o persist -g persist /data
COPY --from=build /opt/persist /opt/persist
# Spooled imports and snapshots go to the disk of the database: they may be larger than memory.
ENV PATH=/opt/persist/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/data \
    PERSIST_DATABASE_URL=sqlite:////data/persist.db \
    PERSIST_HOST=0.0.0.0
WORKDIR /srv
VOLUME /data
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen(f\"http://127.0.0.1:{os.environ.get('PERSIST_PORT', 8000)}/health/ready\", timeout=4)"]
ENTRYPOINT ["persist"]
CMD ["serve"]

FROM engine AS deployment
COPY app app
COPY migrations migrations
COPY schemas schemas

# The last stage is what is built without --target.
FROM engine
