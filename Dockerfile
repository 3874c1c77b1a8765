# fef serve on a GPU. Build: docker build -t fef . Run: docker run --gpus all -p 8000:8000 fef
# torch brings CUDA's libraries; Triton compiles the engine's kernels at run time and needs a C compiler.
FROM python:3.12-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 fef

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY fef ./fef
COPY packages ./packages
RUN pip install --no-cache-dir ".[router]" ./packages/smol && rm -rf /src/*

USER 1000
WORKDIR /home/fef
EXPOSE 8000
HEALTHCHECK --interval=10s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=5)"]

# the address inside a container is that of the container; give FEF_API_KEY where others can reach it
ENTRYPOINT ["fef"]
CMD ["serve", "--model", "demo", "--host", "0.0.0.0", "--port", "8000"]
