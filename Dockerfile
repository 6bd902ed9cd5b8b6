# One image for every process of Gamut. Serving only: no torch, no training data, no compiler.

FROM python:3.11-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends build-essential \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/gamut
ENV PATH=/opt/gamut/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# llama.cpp's CPU code in a variant for each kind of x86-64, the best of which is loaded when the process starts: an image
# built on a new processor runs on an old one. By default it is built for the building machine alone. The folder is compiled
# in, and filled while the wheel is built, so that no wheel of an earlier build may stand in for it (PIP_NO_CACHE_DIR).
# amx.h says why it is included everywhere.
ENV CMAKE_ARGS="'-DCMAKE_CXX_FLAGS=-include /app/deploy/amx.h' -DGGML_NATIVE=OFF -DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON -DGGML_BACKEND_DIR=/opt/gamut/lib/ggml"
WORKDIR /app
# Dependencies first, from the project's own list: they, and the compiling, are done again only when it changes.
COPY pyproject.toml README.md ./
COPY deploy/amx.h deploy/
RUN python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))" > needed.txt \
 && pip install --no-binary llama-cpp-python --requirement needed.txt 'setuptools>=77' \
 && ls /opt/gamut/lib/ggml/libggml-cpu-*.so
COPY . .
RUN pip install --no-deps --no-build-isolation --editable . \
 && python -m compileall -q connector models training workers gamut.py

FROM python:3.11-slim-bookworm
# OpenMP, for llama.cpp.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin gamut
COPY --from=build /opt/gamut /opt/gamut
COPY --from=build /app /app
ENV PATH=/opt/gamut/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 GAMUT_HOST=0.0.0.0
WORKDIR /app
USER 10001
EXPOSE 8080
# Of the connector; compose.yaml says what the other processes are asked.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-m", "connector.health", "http://127.0.0.1:8080/healthz"]
CMD ["gamut", "serve"]
