"""The models of the example graphs, and how they are made: on data that is made up, with numpy alone."""
