"""
Stands for sagemaker_sklearn_container 2.0, the one part of AWS's image that no package index has.

Ours, written to the same two entry points over AWS's own toolkits; what it leaves out is in docs/fidelity.md.
"""
