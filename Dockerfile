# syntax=docker/dockerfile:1
# One image for all services: the command, Dagster's servers and Ray's nodes need the same code and the same libraries.
FROM python:3.11-slim-bookworm AS build
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --constraint constraints.txt uv && uv venv /opt/biomedica
# Dependencies first: they change less often than the code.
RUN uv pip install --no-cache --python /opt/biomedica/bin/python --constraint constraints.txt \
    --requirement pyproject.toml --extra graph --extra faiss --extra postgres --extra ray
COPY biomedica_assets biomedica_assets
RUN uv pip install --no-cache --python /opt/biomedica/bin/python --constraint constraints.txt --no-deps .

FROM python:3.11-slim-bookworm
# KubeRay asks its nodes whether they are well with wget.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 biomedica \
    && useradd --uid 10001 --gid biomedica --create-home biomedica \
    && install --directory --owner=biomedica --group=biomedica /data
COPY --from=build /opt/biomedica /opt/biomedica
COPY deploy/workspace.yaml /etc/biomedica/workspace.yaml
ENV PATH=/opt/biomedica/bin:$PATH \
    BIOMEDICA_DATA_DIR=/data \
    DAGSTER_HOME=/data/dagster_home \
    DAGSTER_DISABLE_TELEMETRY=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /home/biomedica
# Of a container that only computes; servers say in compose.yaml and deploy/kubernetes how they are asked.
HEALTHCHECK --interval=5m --timeout=30s --start-period=1m CMD ["biomedica", "doctor"]
CMD ["biomedica", "--help"]
