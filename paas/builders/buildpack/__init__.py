"""An embedded Cloud Native Buildpacks lifecycle: Buildpack API 0.10 on the project's own engine and image store.

    builder.py     the phases in order: detect, restore, build, export
    buildpack.py   buildpack.toml and order.toml
    plan.py        which group of buildpacks, and its build plan (pure)
    restore.py     what is kept between two builds
    changes.py     what a build left below /layers
    launch.py      launch.toml, processes, the environment at launch (pure)
    export.py      layers and image
    inside/        what runs in the build container and in the image; imports nothing of paas

Source: github.com/buildpacks/spec, buildpack.md and platform.md.
"""
