"""Running a language model of Llama's layout on the CPU without the weight of its modules."""
