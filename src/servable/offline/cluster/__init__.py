"""Cluster: the same job on many machines. Spark or Ray carries parts to workers there and their answers back; what a
part is, how it is answered and where answers go is decided elsewhere, once for all engines.
"""
