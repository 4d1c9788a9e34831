# The worker image: the wheel of this tree, on exactly the packages of requirements-runtime.lock.
FROM python:3.12-slim AS build
WORKDIR /source
COPY requirements.lock requirements-runtime.lock ./
RUN python -m venv /build && /build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock \
 && python -m venv /opt/maestro \
 && /opt/maestro/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-runtime.lock
COPY pyproject.toml README.md ./
COPY schemas schemas
COPY streams streams
COPY topology topology
RUN /build/bin/python -m build --wheel --no-isolation --outdir /wheel . && /opt/maestro/bin/pip install --no-deps /wheel/*.whl

FROM python:3.12-slim
RUN useradd --system --uid 10001 maestro && install -d -o maestro -g maestro /var/lib/maestro
COPY --from=build /opt/maestro /opt/maestro
ENV PATH=/opt/maestro/bin:$PATH PYTHONUNBUFFERED=1
USER maestro
VOLUME /var/lib/maestro
ENTRYPOINT ["maestro"]
CMD ["worker"]
