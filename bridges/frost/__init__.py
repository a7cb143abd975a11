"""RFC 9591 FROST(secp256k1, SHA-256): the committee's threshold signature.

Layers, each importing only those before it: `errors`, `group`, `ciphersuite`, `keygen`, `signing`, `coordinator`, `dkg_messages`, `dkg_checks`,
`dkg_talk`, `dkg`, `reshare_checks`, `reshare` (pure); `keystore`, `transport`, `session`, `dkg_session` (files, sockets and clocks).
Nothing here imports another bridge.
"""
